"""The application; its signals are connected once it is ready."""

from django.apps import AppConfig


class CatalogConfig(AppConfig):
    """The catalog."""

    name = "catalog"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self):
        """Connects the signals."""
        from catalog import signals  # noqa: F401
