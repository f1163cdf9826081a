"""./dev chaos: publishers on a real site whose processes and servers are broken at random moments.

::

    drill        the run: publishers and faults, time to settle, then the checks
      grounds    the site: its databases, its programs, who starts again what died
      cluster    their PostgreSQL, so that it can be stopped
      disk       where the map database is, so that it can be full
      moments    what chance seldom meets: an import that is held while something happens
        imports  how it is held: by its reader, by the map database (gates), by another server (origin)
      publishers what people do to it, one thread each
      files      what they upload; a file's name tells what is in it
      faults     what goes wrong, each undone within seconds
      scene      what is found then, in CKAN and in PostGIS
      checks     what must be true at the end
      overlaps   and in the logs: never two imports of one resource at once
      leaks      and a secret nowhere

A seed repeats the order of actions and faults, not the moments at which they meet.
"""
