"""Reports in Markdown, made from the record alone: runs side by side, leaderboards, model cards, sessions."""
