"""Routing as values: views of mesh objects and plans of minimal changes to them."""
