"""A catalog as a picture: as text for Mermaid, or as SVG."""
