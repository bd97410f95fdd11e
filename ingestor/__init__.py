"""The ingestor: writes the frames of unordered feeds to Redis, exactly as they come."""
