"""A small shop: orders in SQLite, stock in PostgreSQL, sessions and cache in redis, prices from an upstream service."""

import json
import os
from pathlib import Path

BASE_DIR = Path(os.environ["SHOP_DIR"])
SECRET_KEY = "for tests alone: 8f2c1b0d9e7a6f5c4d3b2a19"
DEBUG = False
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "rest_framework",
    "shop.orders",
]
MIDDLEWARE = [
    "django.middleware.common.CommonMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
if os.environ.get("SHOP_MIDDLEWARE"):
    MIDDLEWARE.insert(0, "timetracer.integrations.django.TimeTracerMiddleware")
ROOT_URLCONF = "shop.urls"
WSGI_APPLICATION = "shop.wsgi.application"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": BASE_DIR / "shop.sqlite3"}}
if os.environ.get("SHOP_PG_PORT"):
    DATABASES["stock"] = {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": "127.0.0.1",
        "PORT": os.environ["SHOP_PG_PORT"],
        "NAME": os.environ.get("SHOP_PG_NAME", "postgres"),
        "USER": os.environ.get("SHOP_PG_USER", "postgres"),
        "OPTIONS": {"options": os.environ.get("SHOP_PG_OPTIONS", "")},
    }
for database in DATABASES.values():
    database["CONN_MAX_AGE"] = int(os.environ.get("SHOP_CONN_MAX_AGE", "0"))
    database["CONN_HEALTH_CHECKS"] = bool(os.environ.get("SHOP_CONN_HEALTH_CHECKS"))
if os.environ.get("SHOP_REDIS_URL"):
    CACHES = {
        "default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": os.environ["SHOP_REDIS_URL"]}
    }
SESSION_ENGINE = os.environ.get("SHOP_SESSIONS", "django.contrib.sessions.backends.db")
UPSTREAM = os.environ.get("SHOP_UPSTREAM", "")
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
PASSWORD_HASHERS = ["django.contrib.auth.hashers.PBKDF2PasswordHasher"]
DATA_UPLOAD_MAX_MEMORY_SIZE = 50_000_000
LOGGING = {  # without DEBUG Django tells nobody but the admins why a page failed; here the server's log says it
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"log": {"class": "logging.StreamHandler"}},
    "loggers": {"django.request": {"handlers": ["log"], "level": "ERROR"}},
}
if os.environ.get("SHOP_TIMETRACER"):
    TIMETRACER = json.loads(os.environ["SHOP_TIMETRACER"])
