"""The orderer: holds the reordering buffer and publishes contiguous ids."""
