"""A child process, within limits and walls, that opens the files of others."""
