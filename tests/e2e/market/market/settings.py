"""A market: one project that uses of Django what projects do, on one PostgreSQL (or SQLite) and one redis."""

import json
import os
from pathlib import Path

BASE_DIR = Path(os.environ["MARKET_DIR"])
SECRET_KEY = "for tests alone: 1c7e0a9b5d3f8624"
DEBUG = False
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "rest_framework",
    "rest_framework.authtoken",
    "catalog",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.gzip.GZipMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.http.ConditionalGetMiddleware",
    "catalog.middleware.stamped",
    "catalog.middleware.Excused",
]
if os.environ.get("MARKET_MIDDLEWARE"):
    MIDDLEWARE.insert(0, "timetracer.integrations.django.TimeTracerMiddleware")
ROOT_URLCONF = "market.urls"
WSGI_APPLICATION = "market.wsgi.application"
if os.environ.get("MARKET_PG_PORT"):
    DATABASES = {
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "HOST": "127.0.0.1",
            "PORT": os.environ["MARKET_PG_PORT"],
            "NAME": os.environ["MARKET_PG_NAME"],
            "USER": "postgres",
            **json.loads(os.environ.get("MARKET_DATABASE", "{}")),
        }
    }
else:
    DATABASES = {
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": BASE_DIR / "market.sqlite3",
            **json.loads(os.environ.get("MARKET_DATABASE", "{}")),
        }
    }
CACHES = {
    "default": {
        "BACKEND": os.environ.get("MARKET_CACHE", "django.core.cache.backends.redis.RedisCache"),
        "LOCATION": os.environ["MARKET_REDIS_URL"],
    }
}
SESSION_ENGINE = os.environ.get("MARKET_SESSIONS", "django.contrib.sessions.backends.cached_db")
UPSTREAM = os.environ.get("MARKET_UPSTREAM", "")
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LOGIN_REDIRECT_URL = "/desk/"
USE_TZ = True
PASSWORD_HASHERS = ["django.contrib.auth.hashers.PBKDF2PasswordHasher"]
STATIC_URL = "static/"
REST_FRAMEWORK = {
    "DEFAULT_THROTTLE_CLASSES": ["rest_framework.throttling.ScopedRateThrottle"],
    "DEFAULT_THROTTLE_RATES": {"rare": "2/hour"},
    "DEFAULT_PAGINATION_CLASS": "rest_framework.pagination.PageNumberPagination",
    "PAGE_SIZE": 2,
}
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "loggers": {"django.request": {"handlers": ["console"], "level": "ERROR"}},
}
if os.environ.get("MARKET_TIMETRACER"):
    TIMETRACER = json.loads(os.environ["MARKET_TIMETRACER"])
