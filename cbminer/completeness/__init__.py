"""What the selection misses: synthetic binaries that go through it, and how it depends on its own limits."""
