"""What `doctor` looks at. Standard library only: it must be able to tell of a broken environment."""
