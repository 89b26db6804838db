"""What a browser does with the API and its S3: `make browser`."""
