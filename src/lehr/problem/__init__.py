"""What is minimised: problems, their families, their files."""
