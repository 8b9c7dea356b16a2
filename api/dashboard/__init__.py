"""The page: rendered here, kept live by one event stream. Its assets lie here; nothing comes from elsewhere."""
