"""What users put into their applications: middleware and `auto_setup`, a file a framework."""
