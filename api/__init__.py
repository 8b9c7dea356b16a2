"""HTTP: routes, who asks, and how errors are told. Knows neither Faust nor a Kafka client but by its ports."""
