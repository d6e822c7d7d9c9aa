"""One file a library: what its calls ask, and how answers become data and back. Shared shapes stand beside them."""
