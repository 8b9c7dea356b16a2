"""Measured beside what a user would pick instead: `make bench`. Nothing asserts a speed; a wrong count is named."""
