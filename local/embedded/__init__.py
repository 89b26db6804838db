"""The embedded backend: DynamoDB, S3 and SES on this machine. It knows nothing of the app."""
