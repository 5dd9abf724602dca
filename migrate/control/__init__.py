"""What a team shares while it migrates, in one DynamoDB table: journal, locks, checkpoints, flags. until phase 3"""
