"""What is learned: corpora, audio, encoders, methods and the one training loop. Imports neither ray nor mlflow."""
