"""A broker and a Redis for a machine without servers: `scorekeeper up` starts them, real deployments never do."""
