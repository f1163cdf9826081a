"""The geopreview wing: an uploaded file becomes a map.

The hallway, in the order a file walks it (the alphabet hides it)::

    hooks    a dataset was saved: which files are geodata, and new?   -> row "queued", ring geo_q
    job      the worker's side: the only module that knows the order below
      source   resource -> Source         where the bytes are: CKAN's storage or a link
      fetch    Source -> Download         bytes on disk, under caps
      detect   Download -> Layers         what the content really is
      load     Layer -> Table             Arrow batches -> binary COPY, one table a generation
      publish  Table -> TileSet           indexes, registry, the pointer flips
      record   TileSet | error -> Status  the row in CKAN's database and its copy in the extras
      prepare  TileSet -> TileSet         while it serves: each tile becomes stored or cheap
    tiles    the reading side: all that a web request needs

Beside the hallway: ``layers`` (all of a file, loaded one after the other); ``attempt`` (a worker's changes of
the row), ``pulse`` (its heartbeat), ``mirror`` (extras, search index, view), ``sweep`` (the janitor)
with ``upkeep`` (what it reads and changes of the rows), ``dataset`` (resources as CKAN's database has them); ``parser`` with ``parsing``, ``columns``, ``crs``,
``charset``, ``sheets`` with ``layout``, ``headings``, ``kinds``, ``tabular`` and ``coordinates`` (tables),
and ``shapes``, which is made of ``wkb``, ``ewkb``, ``mending``, ``overlaps``, ``curves``, ``seam``, ``books``
and ``extent`` (what runs in the child process, behind ``cage``, ``landlock`` and ``seccomp``), and ``reader``
(the parent's side of it); ``storages``, ``courier``, ``headers`` (where files are and how links are fetched),
``permit`` and ``handover`` (an upload by way of the site); ``sniff``, ``delimited``, ``foreign``,
``references``, ``unzip``, ``guard``
(suspicion); ``archive``, ``companions``, ``shapefile``, ``texts``, ``place`` (from a download to files that a
driver can open, in UTF-8); ``rows``, ``transfer`` (binary COPY); ``outline``, ``pyramid``, ``thinning``,
``cutting``, ``listing``, ``slimming``, ``descent``, ``hands``, ``bake`` (what preparing is made of); ``answer``, ``legacy``
(the words of the status and of old clients); ``preview``, ``db`` (the two databases); ``translate``, ``child``
and ``launcher`` (readers as the parent sees them), ``lock``; ``encore`` (another preview by the same process), ``tether`` (none outlives
its worker);
``check`` (their state), ``probes``, ``survey`` (the state of all else), ``backlog`` (what waits, runs and failed); ``gate``, ``rights`` and
``recent`` (who may see a layer), ``credits`` (whose data it is), ``sharing`` (what tile servers have), ``cql`` and ``cql_text`` (which of its
features), ``flights`` and ``shelf`` (a tile is made once for all who ask), ``packing`` (gzip copies of stored tiles), ``sketch`` (large shapes
until they are prepared);
``tally``, ``footfall``, ``footprints``, ``demand`` (who asks for which tiles, counted, kept and told); ``rules``,
``formats``, ``remedies``, ``verdicts``, ``values``.
"""
