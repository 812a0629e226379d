"""The comparison: which layer forgets what, seen at every place where the forgotten could come to light again."""
