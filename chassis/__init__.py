"""The microservice chassis: what every service needs and no service's own business.

Settings, logs, lifecycle, the link to Redis, leases, WebSocket connections, the ops endpoint,
backoff and metrics. It imports no service; services import it and never each other.
"""
