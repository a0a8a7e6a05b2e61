"""The API in words for machines and people: an OpenAPI document of every route, and a page that shows it offline."""
