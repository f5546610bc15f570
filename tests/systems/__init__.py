"""The systems around the product, as tests set them up."""
