"""The one Report model and the one set of renderers; jobs add sections, never renderers."""
