"""The microservice chassis: what every service needs and no service's own business.

Settings, logs, lifecycle, the link to Redis, leases, the ops endpoint, backoff, metrics and
the names of keys. It imports no service; services import it and never each other.
"""
