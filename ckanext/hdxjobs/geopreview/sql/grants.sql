-- The tiles role may run four functions and read nothing else; run by db.init as the schema's owner.
GRANT USAGE ON SCHEMA hdxjobs TO {tiles};

GRANT EXECUTE ON FUNCTION hdxjobs.tile_v1(text, bigint, integer, integer, integer) TO {tiles};

GRANT EXECUTE ON FUNCTION hdxjobs.tile_v2(text, bigint, integer, integer, integer, jsonb) TO {tiles};

GRANT EXECUTE ON FUNCTION hdxjobs.layer_v1(text) TO {tiles};

GRANT EXECUTE ON FUNCTION hdxjobs.tile_v3(text, bigint, integer, integer, integer, jsonb, boolean) TO {tiles};
