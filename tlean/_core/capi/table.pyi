ABI: int
VERSION: str
API: object
