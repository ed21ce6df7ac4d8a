"""What the code computes on pinned inputs, part by part."""
