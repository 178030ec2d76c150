"""All exercises of the course, by name: a module a chapter."""

from trlkit.course.checks import ch00_welcome, ch01_tensors

EXERCISES = {
    exercise.name: exercise
    for module in (ch00_welcome, ch01_tensors)
    for exercise in module.EXERCISES
}
