"""ASGI entry point, as `django-admin startproject` makes it."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "market.settings")
application = get_asgi_application()
