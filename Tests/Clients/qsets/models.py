"""The rows, and the third way to cache them: a model that knows how."""

import logging

from django.core.cache import cache
from django.db import models

logger = logging.getLogger("qsets")


class CacheableModel(models.Model):
    """A model that is read through the cache."""

    class Meta:
        abstract = True

    def _key(self, id):
        return f"{type(self).__name__}.{id}"

    def get(self, id):
        key = self._key(id)
        row = cache.get(key)
        if row is not None:
            logger.info("  CACHE HIT key=%s", key)
            return row
        logger.info("  CACHE MISS key=%s", key)
        row = type(self).objects.filter(id=id).first()
        if row is not None:
            logger.info("  CACHE POPULATE key=%s", key)
            cache.set(key, row)
        return row

    def set(self, id, row):
        self._invalidate(id)
        row.id = id
        row.save()

    def remove(self, id):
        self._invalidate(id)
        type(self).objects.filter(id=id).delete()

    def _invalidate(self, id):
        logger.info("  CACHE INVALIDATE key=%s", self._key(id))
        cache.delete(self._key(id))


class User(models.Model):
    name = models.CharField(max_length=100)

    def __str__(self):
        return f"User id={self.id} mame={self.name}"


class Team(CacheableModel):
    name = models.CharField(max_length=100)

    def __str__(self):
        return f"Team id={self.id} mame={self.name}"
