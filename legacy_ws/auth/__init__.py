"""Who is behind a token: HS256, RS256 by JWKS, Cognito. until phase 3"""
