"""What the product stands on: one DynamoDB table and two S3 buckets."""
