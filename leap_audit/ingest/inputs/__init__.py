"""Select the input that takes the picture, and set values for the other inputs."""
