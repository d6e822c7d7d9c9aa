"""A shop with its visits in SQLite; exchange rates come from another service. Nothing here is about timetracer."""

import os
from pathlib import Path

SECRET_KEY = "an example's"
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS = ["prices"]
ROOT_URLCONF = "shop.urls"
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("SHOP_DATABASE", Path(__file__).parent.parent / "shop.sqlite3"),
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
RATES_URL = os.environ.get("RATES_URL", "http://127.0.0.1:9000")
