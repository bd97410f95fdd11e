"""The viewer: a page that shows the relay at work. It reads Redis, and only when somebody looks."""
