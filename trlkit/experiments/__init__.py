"""The plans behind what the course says of TRLs: one backbone, many heads, all else alike.

``trlkit experiments run PLAN`` trains and writes a row for each run;
``trlkit experiments report`` makes the page and its figures of the rows alone.
"""
