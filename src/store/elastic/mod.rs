//! Elasticsearch 9 and OpenSearch 3.
