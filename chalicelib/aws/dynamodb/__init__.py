"""The one DynamoDB table: what is in it, and each write with the rule that it keeps."""
