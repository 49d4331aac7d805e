"""The process that drives a workspace's jobs. It holds no truth: killed at any point, the next one carries on."""
