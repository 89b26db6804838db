"""What stands beside the app on AWS, and the operator's commands for it."""
