"""The embedded backend: S3, DynamoDB and SES on this machine."""
