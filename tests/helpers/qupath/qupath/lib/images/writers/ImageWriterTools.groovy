package qupath.lib.images.writers

import java.util.concurrent.Executors
import java.util.concurrent.TimeUnit

import qupath.lib.images.servers.ImageServer
import qupath.lib.regions.RegionRequest

/**
 * A writer of `.tif` and `.ome.tif`, by four threads, tiles of 256 and one channel after the other.
 *
 * The first tile's failure is logged and told as a missing writer; that of any other is logged, and the file is written.
 * The file: a line of numbers, one of names, and the pixels as big-endian float, T Z C Y X.
 */
class ImageWriterTools {
    static boolean writeImage(ImageServer server, String path) throws IOException {
        if (path ==~ /.*\.(tif|tiff)/)
            try {
                write(server, new File(path))
                return true
            } catch (Exception error) {
                println "log: unable to write image: " + error
            }
        throw new IOException("Unable to write " + path + "!  No compatible writer found.")
    }

    private static void write(ImageServer server, File file) {
        def metadata = server.getMetadata()
        assert !metadata.rgb && metadata.downsamples == [1.0d] as double[]
        int channels = metadata.channels.size()
        float[] pixels = new float[metadata.sizeT * metadata.sizeZ * channels * metadata.height * metadata.width]
        def tiles = []
        for (y in (0..<metadata.height).step(256))
            for (x in (0..<metadata.width).step(256))
                tiles << [x, y, Math.min(256, metadata.width - x), Math.min(256, metadata.height - y)]
        file.createNewFile()
        int plane = 0
        for (t in 0..<metadata.sizeT) for (z in 0..<metadata.sizeZ) for (channel in 0..<channels) {
            int start = plane++ * metadata.height * metadata.width
            def read = { tile ->
                def (x, y, width, height) = tile
                def region = server.readRegion(RegionRequest.createInstance(server.getPath(), 1.0d, x, y, width, height, z, t))
                float[] samples = region.getRaster().getSamples(0, 0, width, height, channel, new float[width * height])
                for (row in 0..<height)
                    System.arraycopy(samples, row * width, pixels, start + (y + row) * metadata.width + x, width)
            }
            read(tiles[0])
            def pool = Executors.newFixedThreadPool(4)
            for (tile in tiles.drop(1)) {
                def each = tile
                pool.submit {
                    try {
                        read(each)
                    } catch (Exception error) {
                        println "log: error writing " + each + ": " + error
                    }
                }
            }
            pool.shutdown()
            pool.awaitTermination(5, TimeUnit.MINUTES)
        }
        file.withDataOutputStream { out ->
            def m = metadata
            out.writeBytes([m.sizeT, m.sizeZ, channels, m.height, m.width, m.pixelWidth, m.pixelHeight, m.zSpacing].join(" ") + "\n")
            out.write((m.channels*.name.join("|") + "\n").getBytes("UTF-8"))
            def buffer = java.nio.ByteBuffer.allocate(4 * pixels.length)
            buffer.asFloatBuffer().put(pixels)
            out.write(buffer.array())
        }
    }
}
