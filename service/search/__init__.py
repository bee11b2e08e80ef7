"""Pure maths of ranking."""
