"""Language models that describe what they hear or see, behind OpenAI-compatible endpoints."""
