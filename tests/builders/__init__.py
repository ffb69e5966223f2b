"""What the tests are run on: models, audits, pictures and pages, each made from nothing."""
