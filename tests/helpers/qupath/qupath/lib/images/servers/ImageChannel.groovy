package qupath.lib.images.servers

import groovy.transform.TupleConstructor

@TupleConstructor
class ImageChannel {
    String name
}
