"""The two S3 buckets, and the requests to them that phones are handed."""
