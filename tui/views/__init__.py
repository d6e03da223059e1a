"""What the screens say, as pure functions: snapshots in, styled text and table lines out."""
