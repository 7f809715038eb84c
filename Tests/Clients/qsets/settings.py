"""What a site has to say; of all this, only CACHES knows of the cache."""

import os

SECRET_KEY = "of no use here"
ALLOWED_HOSTS = ["testserver"]
INSTALLED_APPS = ["qsets"]
ROOT_URLCONF = "qsets.urls"
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
USE_TZ = True
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
CACHES = {"default": {"BACKEND": os.environ["QSETS_BACKEND"], "LOCATION": os.environ["QSETS_LOCATION"]}}
LOGGING = {
    "version": 1,
    "formatters": {"bare": {"format": "%(message)s"}},
    "handlers": {"stdout": {"class": "logging.StreamHandler", "stream": "ext://sys.stdout", "formatter": "bare"}},
    "loggers": {"qsets": {"handlers": ["stdout"], "level": "INFO"}},
}
