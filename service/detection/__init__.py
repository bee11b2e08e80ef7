"""Pure maths: arrays in, findings out."""
